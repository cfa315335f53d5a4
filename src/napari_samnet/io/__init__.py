"""Files: images, labels, fields, points; bounded on untrusted input."""
