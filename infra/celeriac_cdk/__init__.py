"""The CDK stacks of a stage."""

from celeriac.model.extras import need

need("cdk", "celeriac_cdk")
