"""The operators' page: `celeriac web` serves it on this machine, with the operator's own AWS credentials."""

# A screen is a file in `screens/` and a template. `guard/` decides who may come in, `live/` reads the stage for all
# open tabs at once.
