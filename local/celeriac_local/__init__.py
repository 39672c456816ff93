"""The local cloud: an emulator of AWS on this machine, the real CDK deploy to it, and a demo. Not in the bundle."""

from celeriac.model.extras import need

need("local", "celeriac_local")
