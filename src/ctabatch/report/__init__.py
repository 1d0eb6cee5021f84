"""What the HTML reports of all use cases share: style, templates, figures."""
