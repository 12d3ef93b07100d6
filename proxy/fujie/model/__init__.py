"""The words of fujie: frozen values and closed vocabularies. Imports nothing of ours."""
