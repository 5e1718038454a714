<?php
/* The state and the change log in one SQLite file, how paths are spelt, and merge patches. The numbers are rules of PROTOCOL.md. */
declare(strict_types=1);

final class Problem extends Exception // 4.9
{
    public function __construct(public int $status, public string $name, string $detail, public array $more = []) { parent::__construct($detail); }
}

function db(): PDO
{
    static $db = null;
    if ($db !== null) return $db;
    $db = new PDO('sqlite:' . (getenv('FILE') ?: 'people.db'));
    $db->exec('PRAGMA busy_timeout = 20000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
    return $db;
}

/** Made once, by the relay, before anybody asks; an epoch begins with the file, and with NEW_EPOCH=1 after a backup was restored (7.5). */
function make_tables(): void
{
    db()->exec('CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value);
        CREATE TABLE IF NOT EXISTS resource (path TEXT PRIMARY KEY, place TEXT, version INTEGER, state TEXT);
        CREATE TABLE IF NOT EXISTS change (seq INTEGER PRIMARY KEY, topic TEXT, resource TEXT, message TEXT);
        CREATE TABLE IF NOT EXISTS retry (key TEXT PRIMARY KEY, request TEXT, answer TEXT, at INTEGER)');
    if (meta('epoch') !== null && !getenv('NEW_EPOCH')) return;
    db()->exec("BEGIN IMMEDIATE; DELETE FROM change; DELETE FROM retry;
        REPLACE INTO meta VALUES ('epoch', '" . bin2hex(random_bytes(4)) . "'), ('relayed', 0); COMMIT");
}

function rows(string $sql, mixed ...$values): array
{
    $statement = db()->prepare($sql);
    $statement->execute($values);
    return $statement->fetchAll(PDO::FETCH_NUM);
}

function meta(string $name): mixed { return rows('SELECT value FROM meta WHERE name = ?', $name)[0][0] ?? null; }
function epoch(): string { static $epoch = null; return $epoch ??= meta('epoch'); }
function head(): int { return rows('SELECT coalesce(max(seq), 0) FROM change')[0][0]; }
function clock(): string { return (new DateTimeImmutable('now', new DateTimeZone('UTC')))->format('Y-m-d\TH:i:s.v\Z'); }
function last_of(string $path): string { return substr($path, strrpos($path, '/') + 1); }
function head_message(): string { return json_encode(['stream' => 'people', 'epoch' => epoch(), 'seq' => head(), 'first' => 1, 'time' => clock()]); }

/** Two values are equal where these are: whatever the order of their members, 1.0 as 1. */
function canonical(mixed $value): string
{
    $sort = function (mixed $value) use (&$sort): mixed {
        if (is_array($value)) return array_map($sort, $value);
        if (!$value instanceof stdClass) return $value;
        $members = array_map($sort, get_object_vars($value));
        ksort($members, SORT_STRING);
        return (object) $members;
    };
    return json_encode($sort($value), JSON_UNESCAPED_SLASHES);
}

function merge(mixed $target, mixed $patch): mixed // RFC 7396
{
    if (!$patch instanceof stdClass) return $patch;
    $result = $target instanceof stdClass ? clone $target : new stdClass();
    foreach (get_object_vars($patch) as $name => $value) {
        if ($value === null) unset($result->{$name});
        else $result->{$name} = merge($result->{$name} ?? null, $value);
    }
    return $result;
}

function difference(stdClass $before, stdClass $after): stdClass
{
    $patch = new stdClass();
    foreach (get_object_vars($before) as $name => $_) if (!property_exists($after, (string) $name)) $patch->{$name} = null;
    foreach (get_object_vars($after) as $name => $value) {
        $old = $before->{$name} ?? null;
        if (property_exists($before, (string) $name) && canonical($old) === canonical($value)) continue;
        $patch->{$name} = $old instanceof stdClass && $value instanceof stdClass ? difference($old, $value) : $value;
    }
    return $patch;
}

function encode(string $segment, int $status = 400, string $code = 'invalid-path'): string // 2.4, 2.5
{
    $segment = Normalizer::normalize($segment);
    if ($segment === false || in_array($segment, ['', '.', '..'], true) || preg_match('/[\x00-\x1f\x7f-\x{9f}]/u', $segment) || strlen($segment) > 512)
        throw new Problem($status, $code, 'It cannot be a part of a path.');
    return preg_replace_callback('/[^A-Za-z0-9_-]/', fn ($found) => sprintf('%%%02X', ord($found[0])), $segment);
}

function decode(string $raw): string
{
    $text = rawurldecode($raw);
    if (!preg_match('//u', $text)) throw new Problem(400, 'invalid-path', 'It is not percent-encoded UTF-8.');
    return Normalizer::normalize($text);
}

function read(string $path): array
{
    [[$version, $state]] = rows('SELECT version, state FROM resource WHERE path = ?', $path) ?: [[0, null]];
    return [$version, $state === null ? null : json_decode($state)];
}

function must_read(string $path): array // 4.7
{
    [$version, $state] = read($path);
    if ($state !== null) return [$version, $state];
    throw new Problem($version > 0 ? 410 : 404, $version > 0 ? 'gone' : 'not-found', "There is no $path.");
}

/** The change, in the transaction of the state (7.1). */
function record(string $event, string $path, ?stdClass $state, string $cause, string $endpoint, array $content): void
{
    [$version, $seq] = [read($path)[0] + 1, head() + 1];
    $stored = $state === null ? null : json_encode($state, JSON_UNESCAPED_SLASHES);
    rows('REPLACE INTO resource VALUES (?, ?, ?, ?)', $path, substr($path, 0, strrpos($path, '/')), $version, $stored);
    $message = ['event' => $event] + $content + ['resource' => $path, 'version' => $version, 'time' => clock(), 'cause' => $cause, 'id' => 'people:' . epoch() . ":$seq"];
    rows('INSERT INTO change VALUES (?, ?, ?, ?)', $seq, substr($endpoint, 1), $path, json_encode($message, JSON_UNESCAPED_SLASHES));
}

/** What is told of a path in the interval ($seq, $seq + $limit] (5.4, 5.5). */
function page(int $seq, string $under, int $limit): array
{
    $below = preg_replace('/[%_!]/', '!$0', $under) . '/%';
    return rows("SELECT seq, message FROM change WHERE seq > ? AND seq <= ? AND (resource = ? OR resource LIKE ? ESCAPE '!') ORDER BY seq", $seq, $seq + $limit, $under, $below);
}
