<?php
/* A mirrored API in PHP: people and their notes, written by the rules of PROTOCOL.md; the numbers in comments are theirs.
   `php relay.php` starts it and publishes what it writes. Each request is a process of its own: the database holds all. */
declare(strict_types=1);
require __DIR__ . '/log.php';

const KINDS = [1 => ['name' => 'string', 'email' => 'string', 'age' => 'integer'], 3 => ['text' => 'string']]; // by depth
const REQUIRED = [1 => 'name', 3 => 'text'];
const FOREIGN = ['_sort', '_order', '_limit', '_per_page', '_page', '_start', '_end', '_embed', '_expand']; // 4.12

function parse(string $body): stdClass
{
    $value = json_decode($body, false, 66);
    if (json_last_error() === JSON_ERROR_DEPTH) throw new Problem(422, 'json-too-deep', 'Nest at most 60 levels.');
    if (json_last_error() !== 0) throw new Problem(400, 'invalid-json', 'The body is no JSON: ' . json_last_error_msg() . '.');
    preg_match_all('/-?\d[\d.eE+-]*/', preg_replace('/"(?:[^"\\\\]|\\\\.)*+"/', '""', $body), $numbers);
    $digits = fn (string $text): string => trim(preg_replace('/[eE].*$|[-.]/', '', $text), '0');
    foreach ($numbers[0] as $number) { // 4.10: it must be the same when it is written again
        $float = (float) $number;
        if (!is_finite($float) || strlen($digits($number)) > 15 && $digits(json_encode($float)) !== $digits($number))
            throw new Problem(422, 'unsafe-number', "$number would be stored as another number.");
    }
    if ($value instanceof stdClass) return $value;
    throw new Problem(422, 'invalid-state', 'It is no object.', ['faults' => [['pointer' => '', 'detail' => 'must be an object']]]);
}

/** RFC 9110 §13; where something is written, any variant names its version (10.3). */
function check_conditions(string $path, ?string $tag, bool $reading): void
{
    foreach (['IF_MATCH' => true, 'IF_NONE_MATCH' => false] as $name => $strong) {
        $field = trim($_SERVER["HTTP_$name"] ?? '');
        if ($field === '') continue;
        $count = preg_match_all('~(W/)?"([^"]*)"~', $field, $tags, PREG_SET_ORDER);
        if ($field !== '*' && ($count === 0 || preg_replace('~(W/)?"[^"]*"|[\s,]~', '', $field) !== ''))
            throw new Problem(400, 'invalid-condition', 'It is neither * nor a list of entity tags.');
        $found = $tag !== null && $field === '*';
        foreach ($tags as [, $weak, $own])
            $found = $found || !($weak && $strong) && '"' . ($reading ? $own : explode(';', $own)[0]) . '"' === $tag;
        if ($found !== $strong) throw new Problem($reading && !$strong ? 304 : 412, 'precondition-failed', "$path is at $tag.");
    }
}

function read_list(string $path, array $query, int $limit, array &$headers): array // 4.8
{
    $after = isset($query['after']) ? "$path/" . encode($query['after']) : '';
    $sql = 'SELECT path, version, state FROM resource WHERE place = ? AND state IS NOT NULL AND path > ? ORDER BY path LIMIT ?';
    $found = rows($sql, $path, $after, $limit + 1);
    $variant = $query === [] ? '' : ';list=' . substr(md5(canonical((object) $query)), 0, 12);
    $headers['ETag'] = '"' . epoch() . '.s' . head() . "$variant\"";
    check_conditions($path, $headers['ETag'], true);
    $shown = array_slice($found, 0, $limit);
    $more = isset($query['versions']) ? '&versions=' . encode($query['versions']) : '';
    if (($query['versions'] ?? '') === 'true') $headers['Lockstep-Versions'] = implode(',', array_column($shown, 1));
    if (count($found) > $limit) $headers['Link'] .= ", <$path?limit=$limit&after=" . last_of(end($shown)[0]) . "$more>; rel=\"next\"";
    return [200, array_map(fn (array $row) => json_decode($row[2]), $shown)];
}

function write(string $method, string $path, array $segments, string $body, array &$headers): array
{
    $kind = count($segments) - (count($segments) + 1) % 2;
    [$place, $own, $cause] = [$path, end($segments), $headers['X-Request-Id']];
    [$version, $before] = read($path);
    if ($method !== 'POST') check_conditions($path, $before === null ? null : '"' . epoch() . ".$version\"", false);
    if ($method === 'PATCH' || $method === 'DELETE') must_read($path);
    if ($method === 'DELETE') { // 3.10, 3.4
        $below = array_column(rows('SELECT path FROM resource WHERE place = ? AND state IS NOT NULL', "$path/notes"), 0);
        $tx = $below === [] ? [] : ['tx' => ['id' => bin2hex(random_bytes(6)), 'n' => count($below) + 1]];
        foreach ([...$below, $path] as $each) record('deleted', $each, null, $cause, $each, $tx);
        return [204, null];
    }
    $types = $method === 'PATCH' ? ['application/json', 'application/merge-patch+json'] : ['application/json'];
    $type = strtolower(trim(explode(';', $_SERVER['CONTENT_TYPE'] ?? $_SERVER['HTTP_CONTENT_TYPE'] ?? '')[0]));
    if (!in_array($type, $types, true)) throw new Problem(415, 'unsupported-media-type', 'Send ' . implode(' or ', $types) . '.');
    $sent = parse($body);
    if ($method === 'POST') {
        $own = $sent->id ?? bin2hex(random_bytes(8));
        if (!is_string($own) || str_starts_with($own, '_')) throw new Problem(422, 'invalid-id', 'An id is a text without _ before it.');
        $path = "$place/" . encode($own, 422, 'invalid-id');
        $sent->id = $own = Normalizer::normalize($own);
        if (read($path)[1] !== null) throw new Problem(409, 'already-exists', "$path is there already.");
    }
    $after = $method === 'PATCH' ? merge($before, $sent) : $sent;
    if ($method === 'PUT') $after->id ??= $own;
    if (($after->id ?? null) !== $own) throw new Problem(422, 'invalid-id', 'The id never changes.'); // 4.1
    $wrong = array_keys(array_filter(KINDS[$kind], fn ($type, $name) => property_exists($after, $name) ? gettype($after->{$name}) !== $type : $name === REQUIRED[$kind], ARRAY_FILTER_USE_BOTH));
    $faults = array_map(fn ($name) => ['pointer' => "/$name", 'detail' => 'is missing or of another type'], $wrong);
    if ($faults !== []) throw new Problem(422, 'invalid-state', "/$wrong[0] is missing or of another type.", ['faults' => $faults]);
    if ($before === null || canonical($before) !== canonical($after)) { // 3.3
        $patch = $method === 'PATCH' ? difference($before, $after) : null;
        $exact = $patch !== null && canonical(merge($before, $patch)) === canonical($after) && strlen(canonical($patch)) < strlen(canonical($after));
        record($before === null ? 'created' : 'modified', $path, $after, $cause, $place, $exact ? ['changes' => $patch] : ['state' => $after]); // 3.2
    }
    $headers = ['ETag' => '"' . epoch() . '.' . read($path)[0] . '"', 'Location' => $path, 'Lockstep-Topic' => substr($path, 1)] + $headers;
    return [$before === null ? 201 : 200, $after];
}

/** The same write again under its key is answered as the first time (4.13). */
function write_once(string $method, string $path, array $segments, string $body, array &$headers): array
{
    $key = trim($_SERVER['HTTP_IDEMPOTENCY_KEY'] ?? '', ' "');
    if ($key === '') return write($method, $path, $segments, $body, $headers);
    [$place, $request] = ["$method $path $key", md5(json_encode([$body, $_SERVER['CONTENT_TYPE'] ?? '', $_SERVER['HTTP_IF_MATCH'] ?? '', $_SERVER['HTTP_IF_NONE_MATCH'] ?? '']))];
    rows('DELETE FROM retry WHERE at < ?', time() - 86_400);
    [[$known, $answer]] = rows('SELECT request, answer FROM retry WHERE key = ?', $place) ?: [[null, '']];
    if ($known !== null && $known !== $request) throw new Problem(422, 'idempotency-key-reused', 'It was used for another request.');
    if ($known === null) {
        [$status, $value] = write($method, $path, $segments, $body, $headers);
        $headers['Lockstep-Marker'] = 'people:' . epoch() . ':' . head();
        rows('INSERT INTO retry VALUES (?, ?, ?, ?)', $place, $request, json_encode([$status, $value, $headers]), time());
        return [$status, $value];
    }
    [$status, $value, $first] = json_decode($answer);
    $headers = ['Idempotency-Replayed' => 'true'] + (array) $first + $headers;
    return [$status, $value];
}

function feed(array $query, int $limit, array &$headers): array // 5.4
{
    if (str_contains($_SERVER['HTTP_ACCEPT'] ?? '', 'text/event-stream')) throw new Problem(406, 'not-acceptable', 'There are no event streams here.');
    $asked = $query['after'] ?? 'earliest';
    $is_word = $asked === 'earliest' || $asked === 'now';
    if (!$is_word && !preg_match('/^(?:people:)?([A-Za-z0-9]{1,32}):(0|[1-9]\d{0,14})$/D', $asked, $found)) throw new Problem(400, 'invalid-position', 'after= is no position.');
    if (!$is_word && $found[1] !== epoch()) throw new Problem(410, 'position-gone', 'It is of another epoch.', ['marker' => 'people:' . epoch() . ':' . head()]); // 5.7
    $seq = $is_word ? ($asked === 'now' ? head() : 0) : (int) $found[2];
    if ($seq > head()) throw new Problem(503, 'position-ahead', 'It is ahead of this service.'); // 5.8
    $parts = array_map(fn ($part) => encode(decode($part)), array_slice(explode('/', $query['under'] ?? '/people'), 1));
    if (!is_place($parts)) throw new Problem(404, 'not-found', 'under= leads nowhere.');
    $headers['Cache-Control'] = 'no-store'; // 5.10
    $changes = array_map(json_decode(...), array_column(page($seq, '/' . implode('/', $parts), $limit), 1));
    return [200, ['stream' => 'people', 'epoch' => epoch(), 'after' => $seq, 'to' => min($seq + $limit, head()), 'head' => head(), 'first' => 1, 'changes' => $changes]];
}

function is_place(array $segments): bool { return $segments[0] === 'people' && in_array($segments[2] ?? 'notes', ['notes'], true) && count($segments) <= 4; }

function route(string $method, array &$headers): array
{
    [$raw, $text] = explode('?', $_SERVER['REQUEST_URI'], 2) + [1 => ''];
    parse_str(preg_replace('/(^|&)([^=&]*)/', '$1q[$2]', $text), $parsed);
    [$query, $reading] = [$text === '' ? [] : $parsed['q'], $method === 'GET' || $method === 'HEAD'];
    $segments = array_map(decode(...), array_slice(explode('/', $raw), 1));
    $path = '/' . implode('/', array_map(encode(...), $segments));
    if (!is_place($segments)) throw new Problem(404, 'not-found', "There is nothing at $path.");
    $headers += ['Lockstep-Topic' => substr($path, 1), 'Link' => '</people/_changes>; rel="changes"']; // 4.2
    [$is_feed, $is_list] = [$reading && $segments === ['people', '_changes'], count($segments) % 2 === 1];
    $known = $is_feed ? ['after', 'limit', 'under'] : ($is_list && $reading ? ['after', 'limit', 'versions'] : []);
    foreach (array_keys($query) as $name)
        if (in_array($name, FOREIGN, true) || !in_array($name, $known, true) && !str_starts_with((string) $name, '_')) throw new Problem(400, 'invalid-query', "$name is not known here.");
    if (!preg_match('/^([1-9]\d{0,2}|1000)$/D', $limit = $query['limit'] ?? '500')) throw new Problem(400, 'invalid-query', 'limit is from 1 to 1000.');
    if (!$is_feed && preg_grep('/^_/', $segments)) throw new Problem(404, 'not-found', 'It is reserved.'); // 2.6
    if (!$reading && !in_array($method, $is_list ? ['POST'] : ['PUT', 'PATCH', 'DELETE'], true)) throw new Problem(405, 'method-not-allowed', 'Not here.');
    db()->exec($reading ? 'BEGIN' : 'BEGIN IMMEDIATE'); // state and change in one (7.1); what is read in it is one snapshot (4.3)
    try {
        if ($is_feed) $result = feed($query, (int) $limit, $headers);
        else {
            if (count($segments) > 2) must_read(implode('/', array_slice(explode('/', $path), 0, 3)));
            if (!$reading) $result = write_once($method, $path, $segments, file_get_contents('php://input'), $headers);
            elseif ($is_list) $result = read_list($path, $query, (int) $limit, $headers);
            else {
                [$version, $state] = must_read($path);
                $headers['ETag'] = '"' . epoch() . ".$version\""; // 4.4
                check_conditions($path, $headers['ETag'], true);
                $result = [200, $state];
            }
        }
        $headers += ['Lockstep-Marker' => 'people:' . epoch() . ':' . head()];
        db()->exec('COMMIT');
        return $result;
    } catch (Throwable $error) {
        $headers += ['Lockstep-Marker' => 'people:' . epoch() . ':' . head()];
        db()->exec('ROLLBACK');
        throw $error;
    }
}

$headers = ['X-Request-Id' => $_SERVER['HTTP_X_REQUEST_ID'] ?? bin2hex(random_bytes(8)), 'Cache-Control' => 'no-cache'];
try { [$status, $value] = route($_SERVER['REQUEST_METHOD'], $headers); }
catch (Problem $problem) {
    [$status, $value] = [$problem->status, ['title' => $problem->name, 'status' => $problem->status, 'code' => $problem->name, 'detail' => $problem->getMessage()] + $problem->more];
    if ($status === 503) $headers['Retry-After'] = '1';
}
header_remove('X-Powered-By');
header('Content-Type: application/' . ($status >= 400 ? 'problem+json' : 'json'));
foreach ($headers as $name => $text) header("$name: $text");
http_response_code($status); // behind Location, which would make it 302
if ($status !== 204 && $status !== 304) echo json_encode($value, JSON_UNESCAPED_SLASHES);
