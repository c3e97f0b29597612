"""A door of the checkout: shared models, by the founding document's names. Never part of the wheel."""
