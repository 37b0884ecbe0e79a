"""Graders: rubrics, the judge, key-fact recall and false alarms; only here is ground truth read."""
