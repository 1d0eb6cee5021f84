"""Analysis of DL3 observations with Gammapy: select, plan, reduce, fit, products, report."""
