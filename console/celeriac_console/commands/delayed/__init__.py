"""The commands `celeriac delayed ...`: they list, show, cancel and run tasks that wait in schedules."""
