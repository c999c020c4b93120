"""A local web page: images in, images as if healthy out; the work is done in a process of its own."""
