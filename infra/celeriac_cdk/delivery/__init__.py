"""The roles with which the workflows of a repository on GitHub look at stages and deploy them."""
