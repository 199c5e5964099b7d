"""Reading and writing files: atomically, without plain pickles, with errors that name the file and the field."""
