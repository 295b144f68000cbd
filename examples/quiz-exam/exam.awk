# The tools of the quiz: awk -f exam.awk -- TOOL name=value...
#
# One exam for each run: its facts are lines in exams/<run>.tsv, its report is reports/exam_<date>_<time>.md. Every tool prints
# one JSON object, and ends with exit code 1 if it did not do its work. Boathouse starts it without a shell, so whatever
# an argument holds is only text.

BEGIN {
    TOTAL = 10          # questions of an exam
    POINTS = 1          # for each right answer
    THRESHOLD = 5       # who has more has passed

    for (i = 1; i < 32; i++) CONTROL[sprintf("%c", i)] = sprintf("\\u%04x", i)
    CONTROL["\n"] = "\\n"; CONTROL["\t"] = "\\t"; CONTROL["\r"] = "\\r"

    tool = ARGV[1]
    for (i = 2; i < ARGC; i++) {
        at = index(ARGV[i], "=")
        name = substr(ARGV[i], 1, at - 1)
        given[name] = substr(ARGV[i], at + 1)
        received = received (received == "" ? "" : ",") "\"" name "\":\"" escaped(given[name]) "\""
    }

    # <run>-<call>: the same for every attempt of a call, and for no other call.
    key = ENVIRON["BOATHOUSE_IDEMPOTENCY_KEY"]
    run = key
    sub(/-[0-9]+$/, "", run)
    if (run == "") run = "by-hand"
    if (run !~ /^[A-Za-z0-9_-]+$/) fail("this run has an id that cannot be the name of a file", "use another id")
    file = "exams/" run ".tsv"
    if (system("mkdir -p exams reports") != 0) fail("nothing can be written here", "make the crew's folder writable")
    load()

    if (tool == "info") set_info()
    else if (tool == "status") print "{" status() "}"
    else if (tool == "record") record()
    else if (tool == "result") result()
    else if (tool == "report") report()
    else fail("there is no tool " tool, "the tools are info, status, record, result and report")
    exit 0
}

# ---- the tools

function set_info() {
    must_have("student_name")
    must_have("exam_topic")
    keep("info\t" escaped(given["student_name"]) "\t" escaped(given["exam_topic"]) "\t" now("%Y-%m-%d %H:%M"))
    printf "{\"success\":true,\"student_name\":\"%s\",\"exam_topic\":\"%s\",\"total_questions\":%d}\n",
        escaped(given["student_name"]), escaped(given["exam_topic"]), TOTAL
}

function record(    n, right) {
    # A call that is made again, because nobody knows whether it arrived, finds what it has done.
    if (key != "" && key in number_of) {
        recorded(number_of[key])
        return
    }
    if (asked >= TOTAL) {
        printf "{\"error\":\"all %d questions are answered\",\"is_complete\":true,\"final_score\":%d,", TOTAL, score
        print "\"action\":\"call GetFinalResult and WriteExamReport, then end the exam\"}"
        exit 1
    }
    must_have("question")
    must_have("student_answer")
    right = tolower(given["is_correct"])
    if (right != "true" && right != "false") fail("is_correct is neither true nor false", "judge the answer, then write true or false")
    n = asked + 1
    if (given["question_number"] != "" && given["question_number"] != n)
        fail("question " given["question_number"] " is not the next one", "write " n ", or leave question_number out")
    keep("answer\t" key "\t" right "\t" escaped(given["question"]) "\t" escaped(given["student_answer"]) "\t" \
        escaped(given["teacher_comment"]))
    add(key, right, escaped(given["question"]), escaped(given["student_answer"]), escaped(given["teacher_comment"]))
    recorded(n)
}

function recorded(n,    i, sum) {
    for (i = 1; i <= n; i++) sum += points(i)
    printf "{%s,\"points_awarded\":%d,\"total_score\":%d,\"questions_remaining\":%d,\"is_complete\":%s}\n",
        told(n), points(n), sum, TOTAL - n, truth(n >= TOTAL)
}

function result(    i, history) {
    if (asked < TOTAL) fail("the exam is not over: " (TOTAL - asked) " of " TOTAL " questions are open", "ask and record them first")
    for (i = 1; i <= asked; i++) history = history (i > 1 ? "," : "") "{" told(i) ",\"points_awarded\":" points(i) "}"
    printf "{%s,\"final_score\":%d,\"max_score\":%d,\"percentage\":\"%.1f%%\",\"passed\":%s,\"grade\":\"%s\",", status(), score,
        TOTAL * POINTS, 100 * score / (TOTAL * POINTS), truth(score > THRESHOLD), grade()
    printf "\"pass_threshold\":%d,\"question_history\":[%s]}\n", THRESHOLD, history
}

function report(    i, draft) {
    if (given["teacher_final_comment"] != "") {
        comment = escaped(given["teacher_final_comment"])
        keep("comment\t" comment)
    }
    if (path == "") {
        path = free_path(now("%Y%m%d_%H%M%S"))
        keep("report\t" path)
    }
    draft = path ".new"
    printf "# Exam report\n\n| | |\n| --- | --- |\n" > draft
    printf "| Student | %s |\n| Topic | %s |\n| Date | %s |\n", cell(student), cell(topic), started > draft
    printf "| Answers | %d of %d |\n| Status | %s |\n", asked, TOTAL, progress() > draft
    for (i = 1; i <= asked; i++) {
        printf "\n## %s Question %d\n\n", (right_of[i] == "true" ? "✅" : "❌"), i > draft
        printf "%s\n\n%s\n\n", line(question[i]), quoted(answer[i]) > draft
        printf "%d of %d point%s.%s\n", points(i), POINTS, (POINTS == 1 ? "" : "s"),
            (comment_on[i] == "" ? "" : " " line(comment_on[i])) > draft
    }
    if (asked >= TOTAL)
        printf "\n## Result\n\n**%d of %d points (%.1f%%): %s.** More than %d are needed.\n", score, TOTAL * POINTS,
            100 * score / (TOTAL * POINTS), grade(), THRESHOLD > draft
    else
        printf "\n%d of %d points so far, %d questions to go.\n", score, asked * POINTS, TOTAL - asked > draft
    if (comment != "") printf "\n## The teacher's comment\n\n%s\n", line(comment) > draft
    close(draft)
    if (system("mv " draft " " path) != 0) fail("the report cannot be written", "make the crew's folder writable")
    printf "{\"success\":true,\"report_path\":\"%s\",\"status\":\"%s\",\"questions\":%d}\n", path, progress(), asked
}

# ---- what they tell

function status() {
    return sprintf("\"total_questions\":%d,\"questions_asked\":%d,\"questions_remaining\":%d,\"correct_answers\":%d," \
        "\"wrong_answers\":%d,\"current_score\":%d,\"is_complete\":%s", TOTAL, asked, TOTAL - asked, correct, asked - correct,
        score, truth(asked >= TOTAL))
}

function told(i) {
    return sprintf("\"question_number\":%d,\"question\":\"%s\",\"student_answer\":\"%s\",\"is_correct\":%s", i, question[i],
        answer[i], right_of[i])
}

function points(i) { return right_of[i] == "true" ? POINTS : 0 }
function truth(condition) { return condition ? "true" : "false" }
function grade() { return score > THRESHOLD ? "passed" : "not passed" }
function progress() { return asked >= TOTAL ? "complete" : "in progress" }

function must_have(name) {
    if (given[name] !~ /[^ \t\r\n]/) fail(name " is blank", "write it out; if there is nothing to write, say so in a word")
}

function fail(error, hint) {
    printf "{\"error\":\"%s\",\"received\":{%s},\"hint\":\"%s\"}\n", escaped(error), received, escaped(hint)
    exit 1
}

# ---- the file of the exam: a fact a line, texts as in JSON

function load(    fields, parts, text) {
    student = "not given"; topic = "not given"
    while ((getline text < file) > 0) {
        parts = split(text, fields, "\t")
        if (fields[1] == "info") { student = fields[2]; topic = fields[3]; if (started == "") started = fields[4] }
        else if (fields[1] == "answer") add(fields[2], fields[3], fields[4], fields[5], fields[6])
        else if (fields[1] == "comment") comment = fields[2]
        else if (fields[1] == "report") path = fields[2]
    }
    close(file)
    if (started == "") started = now("%Y-%m-%d %H:%M")
}

function add(call, right, asks, says, remark) {
    asked++
    number_of[call] = asked
    right_of[asked] = right; question[asked] = asks; answer[asked] = says; comment_on[asked] = remark
    if (right == "true") { correct++; score += POINTS }
}

function keep(fact) {
    print fact >> file
    close(file)
}

function now(format,    text) {
    format = "date '+" format "'"
    format | getline text
    close(format)
    return text
}

# A name that no other exam has: the shell creates it only if it is not there (noclobber).
function free_path(stamp,    name, n) {
    name = "reports/exam_" stamp ".md"
    for (n = 2; system("(set -C; : > " name ") 2> /dev/null") != 0; n++) {
        if (n > 100) fail("the report cannot be written", "make the crew's folder writable")
        name = "reports/exam_" stamp "_" n ".md"
    }
    return name
}

# ---- texts

function escaped(text,    i, c, out) {
    for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == "\\" || c == "\"") out = out "\\" c
        else if (c in CONTROL) out = out CONTROL[c]
        else out = out c
    }
    return out
}

function plain(text,    i, c, out) {
    for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == "\\") {
            c = substr(text, ++i, 1)
            if (c == "n") c = "\n"
            else if (c == "t" || c == "r") c = " "
            else if (c == "u") { c = ""; i += 4 }
        }
        out = out c
    }
    return out
}

function line(text) {
    text = plain(text)
    gsub(/\n/, " ", text)
    return text
}

function quoted(text) {
    text = plain(text)
    gsub(/\n/, "\n> ", text)
    return "> " text
}

function cell(text) {
    text = line(text)
    gsub(/[|]/, "/", text)
    return text
}
