SELECT city, station_id, name, capacity, lat, lon
FROM (
  SELECT
    city, station_id, name, capacity, lat, lon,
    ROW_NUMBER() OVER (PARTITION BY city, station_id ORDER BY fetched_at DESC) AS newest
  FROM station_information_raw
) AS ranked
WHERE newest = 1
