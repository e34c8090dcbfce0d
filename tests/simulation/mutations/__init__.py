"""How each rule is switched off: functions that name what to replace with what."""
