<?php
// Runs PHP samples and prints the output of each as a line of JSON.
function printed(string $path): string {
  ob_start();
  require $path;
  return ob_get_clean();
}

foreach (array_slice($argv, 1) as $path) {
  echo json_encode(printed($path), JSON_THROW_ON_ERROR), "\n";
}
