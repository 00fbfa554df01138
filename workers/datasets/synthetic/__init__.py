"""Six kinds of generated images that look and err like the datasets of the study."""
