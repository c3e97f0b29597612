"""What a terminal shows of a running tracker."""
