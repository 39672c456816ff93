"""The CDK stacks of a stage."""
