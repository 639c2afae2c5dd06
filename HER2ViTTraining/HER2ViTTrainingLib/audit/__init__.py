"""What a score rests on: size, site, performance and calibration per subgroup (`her2vit audit`).

Imports `evaluation`, `cohort`, `stats`, `pages`, `parallel`, `tables`.
"""
