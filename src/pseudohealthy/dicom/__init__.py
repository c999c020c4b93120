"""DICOM in and out, the extra `dicom`: a series of a folder or archive, and what is made of it as DICOM."""
