"""Logins: who somebody is, what he may see, and the tokens that servers want."""
