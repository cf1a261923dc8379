/* A plugin in C, with a JSON reader of its own: functions, a class with state, a property, a constant, a callback.
 *
 * It shares nothing with the Python side but the protocol. It serves one request at a time; while it waits for the answer
 * to a callback, it serves the requests that the host sends from inside that callback.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- JSON: a tree of nodes that point into the text of the line ---------------------------------------------------- */

enum kind { MISSING, NULL_, BOOL, NUMBER, STRING, ARRAY, OBJECT };

struct node {
    enum kind kind;
    const char *text; /* where it begins in the line */
    size_t size;      /* its length there */
    struct node *name, *child, *next;
};

static void fail(const char *why)
{
    fprintf(stderr, "plugin.c: %s\n", why);
    exit(3);
}

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (memory == NULL)
        fail("out of memory");
    return memory;
}

static const char *skip(const char *at)
{
    while (isspace((unsigned char)*at))
        at++;
    return at;
}

static const char *read_string(const char *at)
{
    for (at++; *at != '"'; at++) {
        if (*at == '\\')
            at++;
        if (*at == '\0')
            fail("a text without an end");
    }
    return at + 1;
}

static const char *read_node(const char *at, struct node **into);

static const char *read_members(const char *at, struct node *of, char end)
{
    struct node **last = &of->child;
    for (at = skip(at + 1); *at != end; at = skip(at)) {
        struct node *name = NULL;
        if (end == '}') {
            at = skip(read_node(at, &name));
            if (*at++ != ':')
                fail("a member without a value");
        }
        at = skip(read_node(at, last));
        (*last)->name = name;
        last = &(*last)->next;
        if (*at == ',')
            at++;
        else if (*at != end)
            fail("an array or object without an end");
    }
    return at + 1;
}

static const char *read_node(const char *at, struct node **into)
{
    struct node *node = *into = allocate(sizeof *node);
    node->text = at = skip(at);
    if (*at == '"') {
        node->kind = STRING;
        at = read_string(at);
    } else if (*at == '{' || *at == '[') {
        node->kind = *at == '{' ? OBJECT : ARRAY;
        at = read_members(at, node, *at == '{' ? '}' : ']');
    } else {
        node->kind = *at == 'n' ? NULL_ : *at == 't' || *at == 'f' ? BOOL : NUMBER;
        while (*at != '\0' && strchr(",]} \t\r\n", *at) == NULL)
            at++;
    }
    node->size = (size_t)(at - node->text);
    return at;
}

static void free_node(struct node *node)
{
    while (node != NULL) {
        struct node *next = node->next;
        free_node(node->name);
        free_node(node->child);
        free(node);
        node = next;
    }
}

static struct node nothing = {MISSING, "null", 4, NULL, NULL, NULL};

/* Whether a text node holds exactly this (names of the protocol need no escapes). */
static int is(const struct node *node, const char *text)
{
    return node->kind == STRING && node->size == strlen(text) + 2 && memcmp(node->text + 1, text, node->size - 2) == 0;
}

static struct node *member(struct node *of, const char *name)
{
    for (struct node *each = of->kind == OBJECT ? of->child : NULL; each != NULL; each = each->next)
        if (is(each->name, name))
            return each;
    return &nothing;
}

static struct node *item(struct node *of, int index)
{
    struct node *each = of->child;
    while (each != NULL && index-- > 0)
        each = each->next;
    return each != NULL ? each : &nothing;
}

/* -- writing ------------------------------------------------------------------------------------------------------- */

struct text {
    char *bytes;
    size_t size, room;
};

static void append(struct text *to, const char *bytes, size_t size)
{
    if (to->size + size + 1 > to->room) {
        to->room = 2 * (to->size + size + 1);
        if ((to->bytes = realloc(to->bytes, to->room)) == NULL)
            fail("out of memory");
    }
    memcpy(to->bytes + to->size, bytes, size);
    to->bytes[to->size += size] = '\0';
}

static void print(struct text *to, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    append(to, line, (size_t)size);
}

static void send_line(struct text *line)
{
    append(line, "\n", 1);
    if (fwrite(line->bytes, 1, line->size, stdout) != line->size || fflush(stdout) != 0)
        exit(0); /* the host is gone */
    free(line->bytes);
    *line = (struct text){0};
}

static struct text result_of(const struct node *id)
{
    struct text line = {0};
    print(&line, "{\"jsonrpc\":\"2.0\",\"id\":");
    append(&line, id->text, id->size);
    return line;
}

static void send_error(const struct node *id, int code, const char *message)
{
    struct text line = result_of(id);
    print(&line, ",\"error\":{\"code\":%d,\"message\":\"%s\"}}", code, message);
    send_line(&line);
}

/* -- what the plugin offers ---------------------------------------------------------------------------------------- */

static const char HANDSHAKE[] =
    ",\"result\":{\"protocol\":\"1.0\",\"transport\":\"json\","
    "\"library\":{\"name\":\"native\",\"version\":\"0.9\",\"description\":\"A plugin in C\"},"
    "\"capabilities\":[\"remote_objects\"],\"schema\":{"
    "\"functions\":[{\"name\":\"add\",\"description\":\"Return a + b\"},{\"name\":\"echo\"},{\"name\":\"apply\"},"
    "{\"name\":\"fail\"}],"
    "\"classes\":[{\"name\":\"Counter\",\"constructor\":{\"name\":\"Counter\"},"
    "\"methods\":[{\"name\":\"inc\"}],\"properties\":[{\"name\":\"value\",\"settable\":true}]}],"
    "\"constants\":[{\"name\":\"VERSION\",\"value\":{\"type\":\"string\",\"value\":\"c-1\"}}]}}}";

enum { MOST_OBJECTS = 100 };
static struct {
    int alive;
    long long value;
} objects[MOST_OBJECTS];

static long long integer(struct node *value)
{
    return strtoll(member(value, "value")->text, NULL, 10);
}

static void serve(struct node *message);
static struct node *receive(char **line);

/* Call the host back, serve what it asks meanwhile, and return its answer: `line` holds the text of it. */
static struct node *call_back(struct node *callback, struct node *argument, char **line)
{
    static long long calls;
    struct text request = {0};
    long long number = ++calls;
    print(&request, "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"method\":\"callback.call\",\"params\":{\"id\":", number);
    struct node *id = member(member(callback, "callback"), "id");
    append(&request, id->text, id->size);
    print(&request, ",\"args\":[");
    append(&request, argument->text, argument->size);
    print(&request, "]}}");
    send_line(&request);
    for (;;) {
        struct node *message = receive(line);
        if (message == NULL)
            exit(0);
        if (member(message, "method")->kind == MISSING && atoll(member(message, "id")->text) == number)
            return message;
        serve(message);
        free_node(message);
        free(*line);
    }
}

static void apply(const struct node *id, struct node *callback, struct node *items)
{
    struct text results = {0};
    for (struct node *each = member(items, "items")->child; each != NULL; each = each->next) {
        char *line;
        struct node *answer = call_back(callback, each, &line), *error = member(answer, "error");
        if (error->kind == OBJECT) {
            struct text reply = result_of(id);
            print(&reply, ",\"error\":{\"code\":-32000,\"message\":");
            append(&reply, member(error, "message")->text, member(error, "message")->size);
            print(&reply, "}}");
            send_line(&reply);
            free_node(answer), free(line), free(results.bytes);
            return;
        }
        struct node *result = member(answer, "result");
        append(&results, ",", results.size > 0);
        append(&results, result->text, result->size);
        free_node(answer), free(line);
    }
    struct text reply = result_of(id);
    print(&reply, ",\"result\":{\"type\":\"list\",\"items\":[");
    append(&reply, results.size ? results.bytes : "", results.size);
    print(&reply, "]}}");
    send_line(&reply);
    free(results.bytes);
}

static void call_function(const struct node *id, struct node *params)
{
    struct node *name = member(params, "name"), *args = member(params, "args");
    struct text line = {0};
    if (is(name, "add")) {
        line = result_of(id);
        print(&line, ",\"result\":{\"type\":\"int\",\"value\":%lld}}", integer(item(args, 0)) + integer(item(args, 1)));
    } else if (is(name, "echo")) {
        line = result_of(id);
        print(&line, ",\"result\":");
        append(&line, item(args, 0)->text, item(args, 0)->size);
        print(&line, "}");
    } else if (is(name, "apply")) {
        apply(id, item(args, 0), item(args, 1));
        return;
    } else if (is(name, "fail")) {
        send_error(id, -32000, "it did not work");
        return;
    } else {
        send_error(id, -32000, "unknown function (available: add, apply, echo, fail)");
        return;
    }
    send_line(&line);
}

static void make_object(const struct node *id, struct node *params)
{
    for (int index = 0; index < MOST_OBJECTS; index++) {
        if (objects[index].alive)
            continue;
        objects[index].alive = 1;
        objects[index].value = integer(item(member(params, "args"), 0));
        struct text line = result_of(id);
        print(&line, ",\"result\":{\"library\":\"native\",\"class\":\"Counter\",\"id\":\"%d\"}}", index);
        send_line(&line);
        return;
    }
    send_error(id, -32000, "too many objects");
}

static void call_method(const struct node *id, struct node *params)
{
    int index = atoi(member(params, "object_id")->text + 1);
    struct node *method = member(params, "method"), *first = item(member(params, "args"), 0);
    if (index < 0 || index >= MOST_OBJECTS || !objects[index].alive) {
        send_error(id, -32000, "unknown object ID");
        return;
    }
    if (is(method, "inc"))
        objects[index].value += first->kind == MISSING ? 1 : integer(first);
    else if (is(method, "value") && first->kind != MISSING)
        objects[index].value = integer(first);
    struct text line = result_of(id);
    print(&line, ",\"result\":{\"type\":\"int\",\"value\":%lld}}", objects[index].value);
    send_line(&line);
}

/* Answer as many existing peers do: no `result` member where the result is null. */
static void send_null(const struct node *id)
{
    struct text line = result_of(id);
    print(&line, "}");
    send_line(&line);
}

static void serve(struct node *message)
{
    struct node *id = member(message, "id"), *method = member(message, "method"), *params = member(message, "params");
    if (id->kind == MISSING)
        return;
    if (is(method, "scriptling.handshake")) {
        struct text line = result_of(id);
        append(&line, HANDSHAKE, sizeof HANDSHAKE - 1);
        send_line(&line);
    } else if (is(method, "function.call")) {
        call_function(id, params);
    } else if (is(method, "object.new")) {
        make_object(id, params);
    } else if (is(method, "object.call_method")) {
        call_method(id, params);
    } else if (is(method, "object.destroy")) {
        objects[atoi(member(params, "object_id")->text + 1)].alive = 0;
        send_null(id);
    } else if (is(method, "plugin.shutdown")) {
        send_null(id);
    } else {
        send_error(id, -32601, "unknown method");
    }
}

static struct node *receive(char **line)
{
    size_t room = 0;
    struct node *message;
    *line = NULL;
    if (getline(line, &room, stdin) < 0) {
        free(*line);
        return NULL;
    }
    read_node(*line, &message);
    return message;
}

int main(void)
{
    char *line;
    struct node *message;
    while ((message = receive(&line)) != NULL) {
        if (message->kind == ARRAY)
            for (struct node *each = message->child; each != NULL; each = each->next)
                serve(each);
        else
            serve(message);
        free_node(message);
        free(line);
    }
    for (int index = 0; index < MOST_OBJECTS; index++)
        if (objects[index].alive)
            fprintf(stderr, "plugin.c: object %d was not released\n", index);
    return 0;
}
