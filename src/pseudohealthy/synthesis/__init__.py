"""From a trained model and a file to the healthy image on the file's own grid."""
