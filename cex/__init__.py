"""A door of the checkout: centralised venues, by the founding document's names. Never part of the wheel."""
