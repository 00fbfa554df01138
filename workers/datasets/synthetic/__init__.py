"""Six generators of images that resemble the datasets of the study, labelling errors included."""
