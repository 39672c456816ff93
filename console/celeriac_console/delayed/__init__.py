"""The tools of `celeriac delayed`: they read, choose, show, cancel and send tasks that wait in schedules."""
