"""A door of the checkout: the decentralised venue, by the founding document's names. Never part of the wheel."""
