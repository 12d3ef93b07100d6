"""Companies that carry SMS, and what stands for one, behind `ports.providers.Provider`."""
