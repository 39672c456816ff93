"""Projects that `celeriac new` makes: their template, and the file that the library is installed from."""
