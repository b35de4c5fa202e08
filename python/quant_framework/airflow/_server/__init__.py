"""What runs in Airflow's API server alone: the page behind the tab *Coverage*."""
