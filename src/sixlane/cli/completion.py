# SPDX-License-Identifier: Apache-2.0
"""`sixlane completion`.

A script runs `sixlane` with _SIXLANE_COMPLETE set, and the words so far in _SIXLANE_WORDS, one a
line, or the line so far in _SIXLANE_LINE. Each line of the answer is `type,value<TAB>help`, where a
type of `file` or `dir` asks the shell for names of its own. `sixlane.cli.words` answers.
"""

import click

from sixlane.cli.command import Command

VARIABLE = "_SIXLANE_COMPLETE"
_INSTRUCTION = "words_complete"

_BASH = f"""\
# bash completion for sixlane; made by: sixlane completion bash
_sixlane() {{
    local answer type value last before
    last=${{COMP_LINE:0:COMP_POINT}} last=${{last##*[[:space:]]}}
    before=${{last%"${{last##*:}}"}} # readline takes a colon for the end of a word
    COMPREPLY=()
    answer=$(_SIXLANE_LINE="${{COMP_LINE:0:COMP_POINT}}" {VARIABLE}={_INSTRUCTION} "$1" 2>/dev/null)
    while IFS=, read -r type value; do
        case $type in
        file) compopt -o default ;;
        dir) compopt -o dirnames ;;
        plain) value=${{value%%$'\\t'*}} COMPREPLY+=("${{value#"$before"}}") ;;
        esac
    done <<<"$answer"
}}
complete -F _sixlane sixlane
"""

_ZSH = f"""\
#compdef sixlane
# zsh completion for sixlane; made by: sixlane completion zsh
_sixlane() {{
    local line value help
    local -a answer found
    answer=("${{(@f)$(_SIXLANE_WORDS="${{(F)words[1,CURRENT]}}" \\
        {VARIABLE}={_INSTRUCTION} "${{words[1]}}" 2>/dev/null)}}")
    for line in $answer; do
        value=${{line#*,}}
        help=${{value#*$'\\t'}}
        value=${{value%%$'\\t'*}}
        case $line in
        file,*) _files ;;
        dir,*) _files -/ ;;
        plain,*) found+=("${{value//:/\\\\:}}${{help:+:$help}}") ;;
        esac
    done
    (($#found)) && _describe -V sixlane found
}}
if [[ $funcstack[1] == _sixlane ]]; then
    _sixlane "$@"
else
    compdef _sixlane sixlane
fi
"""

_FISH = f"""\
# fish completion for sixlane; made by: sixlane completion fish
function __sixlane_complete
    set -l words (commandline -opc)
    set -lx _SIXLANE_LINE (commandline -cp)
    set -lx {VARIABLE} {_INSTRUCTION}
    for line in ($words[1] 2>/dev/null)
        set -l parts (string split -m 1 , -- $line)
        switch $parts[1]
            case file
                __fish_complete_path (commandline -ct)
            case dir
                __fish_complete_directories (commandline -ct)
            case plain
                echo -- $parts[2]
        end
    end
end
complete -c sixlane -f -a '(__sixlane_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@click.command(
    cls=Command,
    examples=[
        ('eval "$(sixlane completion bash)"', "for this shell"),
        (
            "sixlane completion fish > ~/.config/fish/completions/sixlane.fish",
            "for all that come",
        ),
    ],
)
@click.argument("shell", type=click.Choice(list(SCRIPTS)))
def completion(shell: str) -> None:
    """Print the script that completes words of this command, and names that the agent knows."""
    click.echo(SCRIPTS[shell], nl=False)
