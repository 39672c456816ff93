"""The operators' page: `celeriac web` serves it with the operator's AWS credentials, or a load balancer signs in."""

# A screen is a file in `screens/` and a template. `guard/` decides who may come in, `live/` reads the stage for all
# open tabs at once. `deployed/` is the page for people without AWS credentials.
