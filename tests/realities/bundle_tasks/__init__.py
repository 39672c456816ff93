"""The application in the bundle that runs under AWS's runtime client. In the bundle this package is `tasks`."""
