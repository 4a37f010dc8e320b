"""From questions and models to answers, judgements and scores."""
