"""Everything that makes or judges networks: synthesis, training, evaluation."""
