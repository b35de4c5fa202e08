"""What knows Airflow beside operators and DAG builders."""
