"""The one exception for bad input."""


class InputError(ValueError):
    """Bad input from outside: a file, a table, a params key.

    The message is one line that names the file and the field and says what to do. Commands and stages print it without
    a traceback and exit with status 1; anything else that escapes is a defect of ours and keeps its traceback.
    """
