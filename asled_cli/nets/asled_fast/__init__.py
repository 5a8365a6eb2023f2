"""The compact recurrent network."""
