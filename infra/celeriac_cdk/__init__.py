"""The CDK stacks: what a stage of Celeriac consists of."""
