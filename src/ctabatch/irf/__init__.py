"""IRF production: identity, plan, event statistics, products and their validation."""
