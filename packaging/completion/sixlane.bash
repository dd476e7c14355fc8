# bash completion for sixlane; made by: sixlane completion bash
_sixlane() {
    local answer type value last before
    last=${COMP_LINE:0:COMP_POINT} last=${last##*[[:space:]]}
    before=${last%"${last##*:}"} # readline takes a colon for the end of a word
    COMPREPLY=()
    answer=$(_SIXLANE_LINE="${COMP_LINE:0:COMP_POINT}" _SIXLANE_COMPLETE=words_complete "$1" 2>/dev/null)
    while IFS=, read -r type value; do
        case $type in
        file) compopt -o default ;;
        dir) compopt -o dirnames ;;
        plain) value=${value%%$'\t'*} COMPREPLY+=("${value#"$before"}") ;;
        esac
    done <<<"$answer"
}
complete -F _sixlane sixlane
