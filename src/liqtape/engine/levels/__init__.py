"""What makes a level NONE to EXTREME: return periods by default, surprise or plain thresholds by choice."""
