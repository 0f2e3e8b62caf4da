"""How Headgate is run: the local supervisor, images and their compose file. Not part of any wheel."""
