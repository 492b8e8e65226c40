"""Class names and groups of classes.

What to know before changing something here:

- A group is a set of classes, and its probability is the sum of theirs (`maps.score_map.ScoreMap.log_probability`). A
  single class is a group with one member.
- A name is looked up as a class first, then as an index, then in the user's own groups and last in WordNet's. Names
  come before indices because classes may be called "1" to "9".
- WordNet's groups are data. `data/imagenet_hierarchy.tsv` lists each synset above a class with its direct hyponyms; the
  members are computed from them, but only when a name is not that of a class. `recipes/wordnet_groups.py` writes the
  file; the test that compares both is skipped where WordNet is not installed.
"""
