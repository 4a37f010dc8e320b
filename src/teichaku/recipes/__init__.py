"""What a study is, and the order in which its stages run."""
