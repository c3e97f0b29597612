"""What is fitted to past days, off the loop and with numpy: excitation, models of a forecast, their walk forward."""
