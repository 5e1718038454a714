<?php
/* Starts the API and publishes its change log over MQTT 3.1.1. The numbers are rules of PROTOCOL.md.

   PORT=8000 BROKER=127.0.0.1:1883 FILE=people.db php relay.php      (NEW_EPOCH=1 once, after a backup was restored) */
declare(strict_types=1);
require __DIR__ . '/log.php';

/** One connection to a broker: publishes at QoS 1, and knows what was acknowledged. It throws where the connection ends. */
final class Mqtt
{
    private $socket;
    private int $last = 0;
    private int $heardAt;

    public function __construct(string $address)
    {
        $this->socket = @stream_socket_client("tcp://$address", $code, $reason, 5) ?: throw new RuntimeException("$address: $reason");
        stream_set_timeout($this->socket, 10);
        $this->send(0x10, "\0\4MQTT\4\2\0\x3c" . self::text('php-' . bin2hex(random_bytes(6)))); // a clean session
        if ($this->receive() !== [0x20, "\0\0"]) throw new RuntimeException("$address refused the connection");
    }

    public function publish(string $topic, string $payload, bool $retain = false): int
    {
        $this->last = $this->last % 65_535 + 1;
        $this->send($retain ? 0x33 : 0x32, self::text($topic) . pack('n', $this->last) . $payload);
        return $this->last;
    }

    public function awaitAcknowledgement(int $id): void
    {
        do [$type, $body] = $this->receive();
        while ($type !== 0x40 || unpack('n', $body)[1] !== $id);
    }

    public function keepAlive(): void
    {
        if (time() - $this->heardAt < 20) return;
        $this->send(0xc0, '');
        $this->receive();
    }

    private function send(int $type, string $body): void
    {
        for ($length = strlen($body), $size = ''; $size === '' || $length > 0; $length >>= 7) $size .= chr($length % 128 + ($length > 127 ? 128 : 0));
        if (@fwrite($this->socket, chr($type) . $size . $body) === false) throw new RuntimeException('The broker has gone.');
    }

    private function receive(): array
    {
        $type = ord($this->read(1));
        for ($length = $shift = 0, $byte = 128; $byte > 127; $shift += 7) $length |= (($byte = ord($this->read(1))) & 127) << $shift;
        $this->heardAt = time();
        return [$type, $length === 0 ? '' : $this->read($length)];
    }

    private function read(int $length): string
    {
        $data = stream_get_contents($this->socket, $length);
        return strlen((string) $data) === $length ? $data : throw new RuntimeException('The broker has gone.');
    }

    private static function text(string $text): string { return pack('n', strlen($text)) . $text; }
}

/** Publishes what is behind `relayed`: from the first message without acknowledgement on (3.9). */
function relay(Mqtt $broker): bool
{
    $found = rows('SELECT seq, topic, message FROM change WHERE seq > ? ORDER BY seq LIMIT 100', meta('relayed'));
    $sent = [];
    foreach ($found as [$seq, $topic, $text]) {
        $small = fn () => json_encode(array_diff_key(json_decode($text, true), ['state' => 0, 'changes' => 0]) + ['ref' => true], JSON_UNESCAPED_SLASHES); // 3.5
        $sent[$seq] = $broker->publish($topic, strlen($text) > 65_536 ? $small() : $text);
    }
    foreach ($sent as $id) $broker->awaitAcknowledgement($id);
    if ($sent !== []) rows("UPDATE meta SET value = ? WHERE name = 'relayed'", array_key_last($sent));
    return $sent !== [];
}

/** Starts the API where it does not run: not yet, no more, or not while its port is still taken. */
function serve(string $port): void
{
    static $server = null;
    if ($server !== null && proc_get_status($server)['running']) return;
    if ($server !== null) sleep(1);
    putenv('PHP_CLI_SERVER_WORKERS=8');
    $server = proc_open([PHP_BINARY, '-S', "127.0.0.1:$port", __DIR__ . '/service.php'], [2 => ['file', '/dev/null', 'w']], $pipes);
}

make_tables();
serve($port = getenv('PORT') ?: '8000');
echo "http://127.0.0.1:$port/people\n";
for (;; sleep(1)) {
    try {
        $broker = new Mqtt(getenv('BROKER') ?: '127.0.0.1:1883');
        $reset = ['event' => 'reset', 'resource' => '/people', 'time' => clock(), 'id' => 'people:' . epoch() . ':0'];
        if (getenv('NEW_EPOCH')) $broker->awaitAcknowledgement($broker->publish('people', json_encode($reset, JSON_UNESCAPED_SLASHES))); // 3.6
        for ($toldAt = 0; ; $broker->keepAlive()) {
            if (time() - $toldAt >= 5) { // 3.8
                $broker->awaitAcknowledgement($broker->publish('lockstep/head/people', head_message(), true));
                $toldAt = time();
            }
            if (!relay($broker)) usleep(20_000);
            serve($port);
        }
    } catch (RuntimeException $error) {
        fwrite(STDERR, $error->getMessage() . " It is tried again.\n");
        serve($port);
    }
}
