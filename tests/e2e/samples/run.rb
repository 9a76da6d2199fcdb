# Runs Ruby samples and prints the output of each as a line of JSON.
require 'json'
require 'stringio'

ARGV.each do |path|
  $stdout = StringIO.new
  load File.expand_path(path)
  printed = $stdout.string
  STDOUT.puts JSON.generate(printed.force_encoding('UTF-8'))
end
