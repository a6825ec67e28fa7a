"""Faces: arrays in, arrays out. No Ray, no HTTP, no database lives here.

Words used throughout:

- frame: (h, w, 3) uint8, RGB.
- box: (4,) float32, x1 y1 x2 y2 in px of the frame it was found in.
- landmarks: (5, 2) float32, left eye, right eye, nose, left and right mouth corner as seen in the picture.
- template: (pack.template_dim,) float32; the unit-length embeddings of the pack's embedders side by side, neither
  weighted nor centred, so that weights and centring can change without looking at a picture again.
- projected template: what `templates.TemplateSpace` makes of it: centred, weighted, unit length; the inner product of
  two of them is the score, and 1 - score the distance.
"""
