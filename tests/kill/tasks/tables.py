from celeriac import Table

effects = Table("effects")
