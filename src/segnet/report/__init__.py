"""Pictures and pages: previews, the learning GIF, the HTML report."""
